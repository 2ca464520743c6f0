"""DICOMweb out of the archive: WADO-RS and QIDO-RS (PS3.18 sections 10.4 and 10.6)."""
