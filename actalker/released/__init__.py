"""ACTalker's released checkpoints: checked against vectors of the released code."""
