"""One step of a student's GRU: its parameters taken apart, and the member of the family of cells that it equals."""
