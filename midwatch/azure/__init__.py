"""Azure: who we are there. The only package that imports `azure.identity` and `azure.mgmt`."""
