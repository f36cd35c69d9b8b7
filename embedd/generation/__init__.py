"""Chats with a language model that runs in worker processes: from turns to tokens and back; no torch."""
