"""What everything else uses: errors, safe reading and writing of files, options."""
