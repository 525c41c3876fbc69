"""What a sweep shows while it runs, and how it is interrupted."""
