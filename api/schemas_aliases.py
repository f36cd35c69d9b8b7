"""Other names for collections, as the routes take and give them."""

from api.schemas import Answer, Request


class AliasRequest(Request):
    collection: str


class AliasAnswer(Answer):
    alias: str
    collection: str


class AliasList(Answer):
    aliases: list[AliasAnswer]
