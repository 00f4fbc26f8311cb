mod npm_resolve;
