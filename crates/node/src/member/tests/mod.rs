mod agreement;
mod app;
mod catching_up;
mod crashes;
mod disk;
mod faults;
mod relaying;
mod world;
