"""A durable asyncio DICOM router: one AE title in, every matching writer out."""

__version__ = "0.1.0"
