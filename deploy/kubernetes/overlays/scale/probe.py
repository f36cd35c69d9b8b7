"""Ends with 0 if the models' service says yes at the path that is its argument, as its probes ask it.

It listens with a certificate of its own and hears only who shows one, which Kubernetes' probes cannot.
"""

import os
import ssl
import sys
import urllib.request

context = ssl.create_default_context(cafile=os.environ["EMBEDD_TLS_CLIENT_CA"])
context.check_hostname = False  # it is this pod, by whatever name
context.load_cert_chain(os.environ["EMBEDD_TLS_CERT"], os.environ["EMBEDD_TLS_KEY"])
port = os.environ.get("EMBEDD_PORT", "8080")
urllib.request.urlopen(f"https://127.0.0.1:{port}{sys.argv[1]}", timeout=2, context=context)
