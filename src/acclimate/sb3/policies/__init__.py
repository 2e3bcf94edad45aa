"""What SB3's policies take in and put out."""
