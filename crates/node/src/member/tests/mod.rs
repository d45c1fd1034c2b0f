mod agreement;
mod world;
