"""Asyncio acceptor and requestor over the sans-I/O protocol."""
