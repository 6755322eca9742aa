"""What an agent can look up while a caller speaks: pages of text, cut into passages, behind a port for other stores."""
