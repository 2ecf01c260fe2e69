"""What `pets` is measured against: each file is an application for uvicorn."""
