"""The command line, dicom-router."""
