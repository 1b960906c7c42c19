"""What stands around a stage: checks, tracking, journal, progress, receipts."""
