"""The worker process of one model replica: the only code that imports torch or sentence_transformers."""
