"""The routing YAML: read, validated with positions, turned into typed values."""
