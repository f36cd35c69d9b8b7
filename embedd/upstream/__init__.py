"""Generators elsewhere: any service that speaks OpenAI's dialect of HTTP."""
