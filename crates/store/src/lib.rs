//! Durable files: block log, headers file, index, fork tree. It decides nothing.
