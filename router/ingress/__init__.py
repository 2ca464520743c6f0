"""From a C-STORE on an association to a durable, recorded instance."""
