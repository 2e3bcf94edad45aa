"""Episodes: played, kept, filmed, and the seeds they are played on."""
