"""Certificates of servers and channels. grpcio speaks TLS 1.2 and 1.3, and nothing older."""
