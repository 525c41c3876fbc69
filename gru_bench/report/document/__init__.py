"""What every report is made of: blocks, numbers, sections."""
