"""A collection whose passages are rows of a Milvus as well, which finds them; the truth stays where it was.

``collection`` is the store that the service sees, ``catalog`` all of them. ``mirror`` brings what the truth
commits to Milvus, as rows of a ``shape``, and ``marks`` says how far it has come. ``search`` asks Milvus,
with a filter as an ``expression`` over a document's ``terms``, and joins rows from the truth. ``server`` is
the connection. Needs the extra 'milvus'.
"""
