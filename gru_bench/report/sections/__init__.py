"""The sections of any report: each module turns evidence into the values of one section."""
