"""Who may call: bearer tokens or client certificates, turned into a principal at the border."""
