/** The alias that names what an endpoint serves; moved with the traffic, by promotions and by hand. */
export const CHAMPION = 'champion';
