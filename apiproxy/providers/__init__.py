"""What each provider is: values, one file each."""
