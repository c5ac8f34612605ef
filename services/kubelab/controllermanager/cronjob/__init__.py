"""The cron job controller: a Job at every time of a schedule."""
