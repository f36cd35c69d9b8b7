"""Embedding and reranking models on other machines: any of several servers that have the same one."""
