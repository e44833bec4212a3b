"""What the persona model we ship is made from: dialogues written by hand, and the makers of everything else."""
