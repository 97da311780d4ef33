//! Case files and every data reader: the pack of real data, round trips, bad inputs, damaged bytes.

mod bad;
mod damage;
mod formats;
mod make;
mod pack;
