"""What is measured side by side: each module here is a process of its own, driven by ``harness.side``."""
