"""The command line: `actalker COMMAND`, `python -m actalker COMMAND`, `infer.py`, `train.py`."""
