"""Training of fastmatte's own weights; fastmatte itself never imports this package."""
