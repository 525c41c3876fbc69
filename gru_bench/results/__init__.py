"""What runs and studies leave behind: the contract between training, tracking and report."""
