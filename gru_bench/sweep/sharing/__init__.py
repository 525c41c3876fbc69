"""How several processes and machines share one study."""
