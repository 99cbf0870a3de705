"""What is tested on the lab. A package, so that the lab is gone before other folders have their turn."""
