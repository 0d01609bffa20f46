"""What every process needs: settings, logging, background services, signals."""
