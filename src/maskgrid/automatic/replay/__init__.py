"""What the generator keeps of the candidates at each setting, without the network."""
