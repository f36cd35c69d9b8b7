"""Fetches small things from addresses that settings name, with limits on everything."""

import aiohttp

_WITHIN_S = 5.0
_MOST_BYTES = 2**18


async def fetch(url: str) -> bytes:
    """What is at ``url``; a redirect is not followed, since it could lead to where the settings do not.

    Raises:
        OSError: it cannot be had, in 5 s, with 256 KiB at most.
    """
    timeout = aiohttp.ClientTimeout(total=_WITHIN_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            content = await response.content.read(_MOST_BYTES + 1)
            while len(content) <= _MOST_BYTES and (more := await response.content.read(_MOST_BYTES)):
                content += more
    except TimeoutError as error:
        raise OSError(f"it was not answered within {_WITHIN_S:g} s") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise OSError(str(error) or type(error).__name__) from error
    if response.status != 200:  # noqa: PLR2004 - as HTTP has it
        raise OSError(f"the answer was {response.status}")
    if len(content) > _MOST_BYTES:
        raise OSError(f"the answer has more than {_MOST_BYTES} bytes")
    return content
