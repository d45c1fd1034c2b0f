mod agreement;
mod catching_up;
mod crashes;
mod faults;
mod world;
