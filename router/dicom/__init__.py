"""The sans-I/O DICOM protocol: bytes in, events out; no sockets."""
