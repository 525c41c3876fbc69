"""The parts that every report is made of: blocks, numbers, sections."""
