"""Certificates for gRPC, which may be others for the next connection.

The library asks for them in threads of its own, before each handshake.
"""

import grpc

from api.security.tls import TlsFiles


class Certificates:
    """Those of ``files``, until there are others."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._is_new = False

    def renew(self, files: TlsFiles) -> None:
        """Show these from now on; whether clients need a certificate stays as it was."""
        self._files = files
        self._is_new = True

    def credentials(self) -> grpc.ServerCredentials:
        """What a server listens with; it asks this object, which has to live as long."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._files),
            self._next,
            require_client_authentication=self._files.client_ca is not None,
        )

    def _next(self) -> grpc.ServerCertificateConfiguration | None:
        """None: as before."""
        if not self._is_new:
            return None
        self._is_new = False
        return _configuration(self._files)


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(files.key, files.cert)], root_certificates=files.client_ca
    )
