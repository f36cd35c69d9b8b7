"""Names of this machine that lead nowhere else."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address without brackets and port, is this machine for itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
