"""The embedded writer: a C-STORE SCP that registers itself and stores durably."""
