"""The upstream services as the gateway sees them: own values in, own values out."""
