"""The selective scan (Mamba), with a decay for every channel and state."""
